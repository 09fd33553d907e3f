"""The one place where items are executed: runners, pages, workers and all else go through it."""
