"""How fast, how small and how steady is multiturn, beside the same work done by hand and by others?

``python -m bench --help`` says how to run it; ``RESULTS.md`` holds figures and what they mean.
"""
