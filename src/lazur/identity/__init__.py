"""Who may ask: the stamp's certificates and stamp key, its directory, its tokens and its sign-in endpoints.

Must never decide what a caller may do: access to subscriptions and resources is decided above this package.
"""
