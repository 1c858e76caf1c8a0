"""Certified bounds against an adversary that is judged in 51 digits."""
