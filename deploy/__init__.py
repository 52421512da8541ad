"""How a party is started: one image for every service, one compose file per party. Used by no room of the house."""
