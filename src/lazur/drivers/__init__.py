"""Doors to the outside world, one small interface each with a real and a simulated driver of equal rank.

Must never read the store or decide anything a controller should decide.
"""
