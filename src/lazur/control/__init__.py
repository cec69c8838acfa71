"""The loop that makes what is into what is wanted. Must never act on the outside world itself: it writes desires."""
