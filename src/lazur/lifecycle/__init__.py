"""How the cloud itself comes to a machine and leaves it: image, pre-checks, bring-up. Must never serve a customer's request."""
