"""Microsoft Graph over the directories: the part of it that az, Terraform's azuread and azure-identity's friends use.

Must never see more than one directory in one request: a handler gets that of the caller's token and no other.
"""
