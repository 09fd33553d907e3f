"""Attacks on all that answers HTTP: broken requests, markup in every text, requests of other sites and of strangers."""
