"""How long and how much a request to the operations may ask for."""

#: The longest that anybody may wait (seconds).
LONGEST_WAIT = 60
#: Calls on one page of the list.
USUAL_PAGE, LARGEST_PAGE = 50, 200
#: Of an idempotency key, in characters: as long as the database takes.
LONGEST_KEY = 190
#: Of a body, unless the application says otherwise.
MAX_BYTES = 1_048_576
