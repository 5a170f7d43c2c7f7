# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_logload_global_optspecs
    string join \n log= config= context= admin= ca= token-file= timeout= o/output= color= h/help V/version
end

function __fish_logload_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_logload_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_logload_using_subcommand
    set -l cmd (__fish_logload_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c logload -n "__fish_logload_needs_command" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logload -n "__fish_logload_needs_command" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logload -n "__fish_logload_needs_command" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logload -n "__fish_logload_needs_command" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logload -n "__fish_logload_needs_command" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logload -n "__fish_logload_needs_command" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logload -n "__fish_logload_needs_command" -l timeout -d 'How long to wait for the admin endpoint, and for each file of --verify: 500ms, 60s, 5m' -r
complete -c logload -n "__fish_logload_needs_command" -s o -l output -d 'Form of the result on standard output' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logload -n "__fish_logload_needs_command" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logload -n "__fish_logload_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logload -n "__fish_logload_needs_command" -s V -l version -d 'Print version'
complete -c logload -n "__fish_logload_needs_command" -f -a "run" -d 'Write streams of entries side by side, and measure rates and latencies'
complete -c logload -n "__fish_logload_using_subcommand run" -l stream -d 'A stream: rate=500/s, connections=8 or backfill, and name=, size=, priority=, merge-by=, shard=, token-file=, start=, duration=, spacing=even, batch=' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l scenario -d 'Streams from a YAML file; `-` is standard input' -r -F
complete -c logload -n "__fish_logload_using_subcommand run" -l duration -d 'Duration of the run; by default that of the streams, or 30s' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l warm-up -d 'Time at the beginning that is left out of every figure' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l poll -d 'Time between two readings of the watermarks; times to published are exact to this' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l html -d 'Write a report with plots to FILE' -r -F
complete -c logload -n "__fish_logload_using_subcommand run" -l svg -d 'Write each plot to a file of its own in DIR' -r -f -a "(__fish_complete_directories)"
complete -c logload -n "__fish_logload_using_subcommand run" -l metrics -d 'Address of the server\'s metrics, for a plot of the queues: http://127.0.0.1:9090/metrics' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l url -d 'Address of the log for readers and writers; by default the one in the context, else the one that the server names' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logload -n "__fish_logload_using_subcommand run" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logload -n "__fish_logload_using_subcommand run" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logload -n "__fish_logload_using_subcommand run" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logload -n "__fish_logload_using_subcommand run" -l timeout -d 'How long to wait for the admin endpoint, and for each file of --verify: 500ms, 60s, 5m' -r
complete -c logload -n "__fish_logload_using_subcommand run" -s o -l output -d 'Form of the result on standard output' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logload -n "__fish_logload_using_subcommand run" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logload -n "__fish_logload_using_subcommand run" -l verify -d 'Afterwards, check that each acknowledged index holds its entry'
complete -c logload -n "__fish_logload_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
