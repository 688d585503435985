# Add this to ~/.bashrc:  source <(vosbench completion bash)
_vosbench() {
    local line=${COMP_LINE:0:COMP_POINT} word before
    word=${line##*[[:space:]]}
    before=${word%"${word##*[=:]}"}  # bash takes what follows = and : for a word of its own
    mapfile -t COMPREPLY < <(VOSBENCH_LINE="$line" vosbench completion bash 2>/dev/null)
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[.=] ]] && compopt -o nospace
}
complete -o default -F _vosbench vosbench
