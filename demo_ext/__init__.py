"""A demonstration: imports CSV files of people or places as an application of one's own would."""
