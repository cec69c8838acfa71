"""Microsoft.Compute: machines, their disks, and where they run."""
