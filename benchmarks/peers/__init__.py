"""Other task queues beside ours, and bare loops on the drivers: the same tasks on the same machine, in turns."""
