"""Load balancers with everything that lives in their document."""
