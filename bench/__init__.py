"""The benchmark tool: `./lazur bench [NAME…]`. Every figure is a ratio to a floor measured in the same run.

Must never be imported by `lazur`, and must never judge by wall clock what can be judged by CPU time.
"""
