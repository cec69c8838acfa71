"""The overlay network of the rack, as rows of an OVN northbound database: real and simulated.

Must never know of virtual networks, security groups or load balancers: those meaning live in the compiler above.
"""
