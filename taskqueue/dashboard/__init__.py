"""What an administrator sees of the queues, and does to them; the pages are drawn by ``web.dashboard``."""
