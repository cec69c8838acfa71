"""Microsoft Graph over the directories."""
