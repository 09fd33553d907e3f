"""Tests of the door for clients of coreBOS."""
