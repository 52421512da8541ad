"""What a party's REST interface may be asked, by subject; `flow.client` puts them together."""
