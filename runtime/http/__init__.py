"""How a service answers HTTP: the server, what connections may cost, and what stands before every route."""
