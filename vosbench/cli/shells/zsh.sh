# Add this to ~/.zshrc, after compinit:  source <(vosbench completion zsh)
_vosbench() {
    local -a found
    found=("${(@f)$(VOSBENCH_LINE="${(j: :)words[1,CURRENT]}" vosbench completion zsh 2>/dev/null)}")
    if [[ -n $found ]]; then
        compadd -Q -S '' -- $found
    else
        compset -P '*='
        _files
    fi
}
compdef _vosbench vosbench
