# bash completion for lxc: asks the program itself.

_lxc() {
    local line=${COMP_LINE:0:COMP_POINT} word i hint
    local -a words=() answer=()
    # Bash breaks words at ":" and "=" as well; what has no blank before it in the line is joined again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
            words+=("")
        fi
        line=${line#"${line%%[![:space:]]*}"}
        if ((i == COMP_CWORD)); then
            word=$line
        fi
        words[${#words[@]} - 1]+=$word
        line=${line#"$word"}
    done
    mapfile -t answer < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    if ((${#answer[@]} == 0)); then
        return
    fi
    hint=${answer[${#answer[@]} - 1]}
    unset "answer[${#answer[@]} - 1]"
    # Bash replaces only what stands behind the last of its own breaks.
    word=${words[${#words[@]} - 1]}
    local keep=${word%"${word##*["${COMP_WORDBREAKS//[!:=]/}"]}"}
    [[ $COMP_WORDBREAKS == *[:=]* ]] || keep=
    for word in "${answer[@]}"; do
        word=${word%%$'\t'*}
        printf -v word %q "${word#"$keep"}"
        COMPREPLY+=("$word")
    done
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[:=/,] ]]; then
        compopt -o nospace
    fi
    if [[ $hint == :0 ]]; then
        compopt -o default
    fi
}

complete -F _lxc lxc
