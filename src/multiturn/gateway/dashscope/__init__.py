"""DashScope's own protocol in front."""
