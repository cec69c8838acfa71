"""The resource providers: one folder is one provider, and no provider folder imports another."""
