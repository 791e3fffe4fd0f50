# fish completion for lxc: asks the program itself.

function __lxc_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$word" 2>/dev/null)
    or return
    if test "$answer[-1]" = :0
        __fish_complete_path "$word"
    end
    for line in $answer[1..-2]
        echo $line
    end
end

complete --command lxc --no-files --arguments '(__lxc_complete)'
