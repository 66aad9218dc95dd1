"""How one run trains: one package per framework, and the attention core that they share."""
