"""Microsoft.Network: virtual networks, their security, addresses and load balancers."""
