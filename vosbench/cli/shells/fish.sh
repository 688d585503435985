# Add this to ~/.config/fish/config.fish:  vosbench completion fish | source
complete --command vosbench --arguments '(VOSBENCH_LINE=(commandline --cut-at-cursor | string collect) vosbench completion fish 2>/dev/null)'
