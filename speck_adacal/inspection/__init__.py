"""Looking at a deployment: levels, quantisation autopsy, load, policies, exits."""
