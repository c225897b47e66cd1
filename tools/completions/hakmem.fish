# SPDX-License-Identifier: MIT
# fish completion for hakmem(1)

# The subcommands and what they are for, from the usage message.
function __hakmem_subcommands
    hakmem --help 2>/dev/null | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z-]*\)  *\(.*\)/\1\t\2/p'
end

# The next of the settings in a word, whose earlier ones stay.
function __hakmem_settings
    set -l done (commandline -ct | string replace -r '^--tune=' '' | string replace -r '[^,]*$' '')
    hakmem tune list --names 2>/dev/null | sed "/^preset=/!s/\$/=/; s/^/$done/"
end

function __hakmem_processes
    __fish_complete_pids
    ps -A -o comm= 2>/dev/null | sort -u
end

function __hakmem_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv
end

function __hakmem_is_first
    test (count (commandline -opc)) -eq 1
end

complete -c hakmem -f
complete -c hakmem -n __hakmem_is_first -a '(__hakmem_subcommands)'
complete -c hakmem -n __hakmem_is_first -l help -d 'Show the usage'
complete -c hakmem -n __hakmem_is_first -l version -d 'Show the version'
complete -c hakmem -n '__hakmem_is help' -a '(__hakmem_subcommands)'

complete -c hakmem -n '__hakmem_is run' -l tune -x -a '(__hakmem_settings)' -d 'Set knobs'
complete -c hakmem -n '__hakmem_is run' -a '(__fish_complete_subcommand --fcs-skip=2 --tune)'

complete -c hakmem -n '__hakmem_is profile' -l against -x -d 'Compare with these allocators' \
    -a '(__fish_append , libc all jemalloc mimalloc tcmalloc snmalloc rpmalloc)'
complete -c hakmem -n '__hakmem_is profile' -l runs -x -d 'Timed runs of each allocator'
complete -c hakmem -n '__hakmem_is profile' -l out -x -a '(__fish_complete_directories)' -d 'Where the report goes'
complete -c hakmem -n '__hakmem_is profile' -l ops -x -d 'Operations that the program does'
complete -c hakmem -n '__hakmem_is profile' -l simulate -x -a 'auto always never' -d 'Whether to run callgrind'
complete -c hakmem -n '__hakmem_is profile' -l limit -x -d 'End each simulated run after so many seconds'
complete -c hakmem -n '__hakmem_is profile' -l clock -x -d 'The clock of the processor in GHz'
complete -c hakmem -n '__hakmem_is profile' -l replay -r -F -d 'Judge this output of perf stat or callgrind'
complete -c hakmem -n '__hakmem_is profile' -l report -r -F -d 'With --replay, output of perf report'
complete -c hakmem -n '__hakmem_is profile' \
    -a '(__fish_complete_subcommand --fcs-skip=2 --against --runs --out --ops --simulate --limit --clock --replay --report)'

complete -c hakmem -n '__hakmem_is stats' -l all -d 'Every figure in bytes'
complete -c hakmem -n '__hakmem_is stats' -l json -d 'As a JSON object'
complete -c hakmem -n '__hakmem_is stats' -l prometheus -d 'In the Prometheus text format'
complete -c hakmem -n '__hakmem_is stats' -l watch -d 'A line every few seconds'
complete -c hakmem -n '__hakmem_is stats' -a '(__hakmem_processes)'

complete -c hakmem -n '__hakmem_is tune; and test (count (commandline -opc)) -eq 2' -a 'list explain check'
complete -c hakmem -n '__hakmem_is tune; and __fish_seen_subcommand_from list' -l names -d 'Only the names'
complete -c hakmem -n '__hakmem_is tune; and __fish_seen_subcommand_from explain' -a '(hakmem tune list --names)'
complete -c hakmem -n '__hakmem_is tune; and __fish_seen_subcommand_from check' -a '(__hakmem_settings)'
complete -c hakmem -n '__hakmem_is run profile stats tune' -l help -d 'Show the usage'
complete -c hakmem -n '__hakmem_is profile stats' -l version -d 'Show the version'
