# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_logctl_global_optspecs
    string join \n log= config= context= admin= ca= token-file= timeout= y/yes confirm= no-input o/output= color= explain-auth h/help V/version
end

function __fish_logctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_logctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_logctl_using_subcommand
    set -l cmd (__fish_logctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c logctl -n "__fish_logctl_needs_command" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_needs_command" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_needs_command" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_needs_command" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_needs_command" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_needs_command" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_needs_command" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_needs_command" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_needs_command" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_needs_command" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_needs_command" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_needs_command" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_needs_command" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_needs_command" -s V -l version -d 'Print version'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "shard" -d 'Show, rotate, freeze and verify the shards of a log'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "status" -d 'Show the state of every log'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "config" -d 'Check, compare and follow configuration documents'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "qos" -d 'List, change and simulate tiers and tenants: what each writer is promised, and its share'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "merge" -d 'Show the progress of the merge on storage nodes, secondaries, frontends and witnesses'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "op" -d 'List changes and wait for them'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "log" -d 'List, create and delete logs'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "token" -d 'Create, list and revoke bearer tokens'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "audit" -d 'List and verify the audit trail: the record of each change'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "receipt" -d 'Check a receipt, and whether the log kept its promise'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "doctor" -d 'Check this machine, the connection and the server; each finding names its remedy'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "import" -d 'Write a file of entries into a log, as fast as the log takes them'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "load" -d 'The older form of `logctl import`'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "top" -d 'Show the state of a log, live: shards, watermarks, queues'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "whoami" -d 'Show your name on the server, and your permissions'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "version" -d 'Print the versions of logctl and of the server'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "api" -d 'Send one request to the admin endpoint, and print the answer'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "context" -d 'Manage contexts (named servers), and show the settings in effect'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "completions" -d 'Print the completion script of a shell; it completes the names of shards, logs, operations and contexts'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "help" -d 'Print the help of a command'
complete -c logctl -n "__fish_logctl_needs_command" -f -a "man" -d 'Print a manual page'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l create-config -d 'Write the next configuration to FILE (`-`: standard output): the running one with the active shard frozen and the next shard active' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l use-config -d 'Validate FILE (`-`: standard input), show the differences from the running configuration, ask, apply, and wait until every replica runs it' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l origin -d 'With --create-config: write the first configuration of a new log with this origin; needs --log and no server' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l from -d 'With --create-config: write the first configuration of a new log that imports the shards of an old Rekor. SOURCE is the URL of the Rekor, a folder that `logctl import rekor --save` wrote, or a file with its list of shards; needs --log' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l from-ca -d 'With --from: a PEM file of authorities to trust for the old Rekor, instead of the system\'s' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l confirm-within -d 'With --use-config: revert the change automatically unless it is confirmed within this time: 30s, 10m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l force -d 'With --create-config: overwrite FILE'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l dry-run -d 'With --use-config: stop after showing the differences'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "list" -d 'List all shards, oldest first'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "show" -d 'Show one shard: its origin, key, length and root'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "plan" -d 'Plan the next shard: it gets its origin and key now, and opens at a later rotation'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "unplan" -d 'Remove a planned shard, which never opens. A shard planned again under the same name has the same origin and key'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "rotate" -d 'Freeze the active shard and open the next one, in one step'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "freeze" -d 'Freeze the whole log: it accepts no writes until it is unfrozen; the same as `log freeze`'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "unfreeze" -d 'Unfreeze the log: it accepts writes again, in the same shard; the same as `log unfreeze`'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "verify" -d 'Verify shards as a reader sees them: tiles, roots, checkpoints, seals, global index'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and not __fish_seen_subcommand_from list show plan unplan rotate freeze unfreeze verify export" -f -a "export" -d 'Print the shards in the format of another system'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l out -d 'With --announce: write the trusted root with the shard\'s key to FILE' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l exec -d 'With --announce: the shell command that publishes the trusted root, which is the file $LOGCTL_TRUSTED_ROOT; each run of logctl starts it again until the key is seen' -r -f -a "(__fish_complete_command)"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l seen-at -d 'With --announce: where clients get the trusted root: the URL of the file, a TUF repository (a URL that ends with a slash, or a folder), or a file; can be repeated. The places where the key was seen before are looked at as well. It is seen if the served file has it; logctl does not verify TUF\'s signatures, clients do' -r -f
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l seen-ca -d 'With --announce: the certificate authority of the --seen-at URLs, a PEM file, instead of the system\'s' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l merge -d 'With --announce: a trusted root whose other content is kept, if the published one has nothing more (`-`: standard input) [default: the published one]' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l dry-run -d 'Show what the command would change, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l announce -d 'Publish the shard\'s key, and wait until it is seen at each --seen-at; the same command continues where an earlier run stopped'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l new-root -d 'With --announce: if nothing is published yet, publish a trusted root with the keys of this log alone'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l dry-run -d 'Show what the command would change, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unplan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l settle -d 'With --announce: how long the key has been seen before the rotation, in which clients fetch it [default: rotate.settle of the configuration, or 7d]' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l out -d 'With --announce: write the trusted root with the shard\'s key to FILE' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l exec -d 'With --announce: the shell command that publishes the trusted root, which is the file $LOGCTL_TRUSTED_ROOT; each run of logctl starts it again until the key is seen' -r -f -a "(__fish_complete_command)"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l seen-at -d 'With --announce: where clients get the trusted root: the URL of the file, a TUF repository (a URL that ends with a slash, or a folder), or a file; can be repeated. The places where the key was seen before are looked at as well. It is seen if the served file has it; logctl does not verify TUF\'s signatures, clients do' -r -f
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l seen-ca -d 'With --announce: the certificate authority of the --seen-at URLs, a PEM file, instead of the system\'s' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l merge -d 'With --announce: a trusted root whose other content is kept, if the published one has nothing more (`-`: standard input) [default: the published one]' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l dry-run -d 'Show what the command would change, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l force -d 'Open the shard even if too few witnesses or secondaries know it (it is not published until they do), or if its key has to be announced and was not'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l announce -d 'Publish the shard\'s key, and wait until it is seen at each --seen-at; the same command continues where an earlier run stopped'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l new-root -d 'With --announce: if nothing is published yet, publish a trusted root with the keys of this log alone'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l now -d 'Do not wait for promised work'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from freeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from unfreeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l url -d 'Address of the log for readers, instead of the context\'s `url`' -r -f
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l format -d 'Format of the output; rekor is the list that Rekor\'s --trillian_log_server.sharding_config reads' -r -f -a "rekor\t'Sharding configuration of Rekor: inactive shards, oldest first'
trusted-root\t'TrustedRoot of Sigstore\'s clients: the keys of all shards, planned ones too'
signing-config\t'SigningConfig of Sigstore\'s clients: the address for writes; a rotation does not change it'
client-trust-config\t'ClientTrustConfig of Sigstore\'s clients: TrustedRoot and SigningConfig in one file'
monitor-config\t'Configuration of rekor-monitor: the address of each shard for readers'
vkeys\t'The verifier keys of all shards, one per line (C2SP signed-note); a shard with an ECDSA key has two, that one first'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l merge -d 'A file of the same format, whose other content is kept; `-` is standard input' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l write-url -d 'URL at which clients write entries, without /api/v2; a SigningConfig needs this or --v1-url' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l v1-url -d 'URL at which clients write entries of Rekor\'s first API, without /api/v1; clients take the highest version that they know' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand shard; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand status" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand status" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand status" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand status" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand status" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand status" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand status" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand status" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand status" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand status" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand status" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand status" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand status" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "diff" -d 'Show what applying FILE would change, or what changed between two generations'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "validate" -d 'Check FILE without a server: syntax, keys, types, rules'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "plan" -d 'Write a change to a file: its exact content, its base, and its effect according to the server'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "apply" -d 'Apply exactly the plan, or show what changed since it was made'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "edit" -d 'Edit the running document in $VISUAL or $EDITOR, and apply the result'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "rollback" -d 'Restore the settings of an earlier generation; shards stay as they are'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "show" -d 'Print the running document, or that of an earlier generation'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "history" -d 'List the decided changes, newest first, with the actor, the reason and the differences of each'
complete -c logctl -n "__fish_logctl_using_subcommand config; and not __fish_seen_subcommand_from diff validate plan apply edit rollback show history schema" -f -a "schema" -d 'Print the JSON schema of the document'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l generation -d 'Two generations, A..B, or one to compare with the running configuration' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l exit-code -d 'Exit with 3 when there is a difference'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l confirm-within -d 'Revert the change automatically unless it is confirmed within this time: 30s, 10m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l confirm-within -d 'Revert the change automatically unless it is confirmed within this time: 30s, 10m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l dry-run -d 'Show what the command would change, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l confirm-within -d 'Revert the change automatically unless it is confirmed within this time: 30s, 10m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l dry-run -d 'Show what the command would change, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l generation -d 'The generation; by default the running one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l since -d 'Only changes decided at or after this time: 7d, 24h, 2026-11-01, 2026-11-01T08:00:00Z' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l until -d 'Only changes decided before this time' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l by -d 'Only changes by this actor: uid:0, root, token:ci' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -f -a "list" -d 'List the tiers and tenants of a log'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -f -a "show" -d 'Show a tier or a tenant: its settings, and its queues at this moment'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -f -a "set" -d 'Change, add or remove a tier or a tenant, or the tokens of a tenant'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and not __fish_seen_subcommand_from list show set simulate" -f -a "simulate" -d 'Replay recorded writes with the settings of FILE and with the running ones, and compare'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -f -a "tier" -d 'Change a tier; a new one needs --for, which names the tenants that may use it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from set" -f -a "tenant" -d 'Change a tenant and its tokens; a new one needs --tiers'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l since -d 'Time to look back: 1m to 7d' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand qos; and __fish_seen_subcommand_from simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and not __fish_seen_subcommand_from status" -f -a "status" -d 'Show the progress of each program, storage node, secondary, frontend and witness'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand merge; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -f -a "list" -d 'List changes, newest first'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -f -a "show" -d 'Show one change: its differences, its actor and reason, and the replicas that run it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -f -a "wait" -d 'Wait until every replica runs a change'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -f -a "watch" -d 'Follow a change, one line per step, until it ends'
complete -c logctl -n "__fish_logctl_using_subcommand op; and not __fish_seen_subcommand_from list show wait watch confirm" -f -a "confirm" -d 'Confirm a change on probation, which is otherwise reverted'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand op; and __fish_seen_subcommand_from confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "list" -d 'List the logs of the server'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "freeze" -d 'Freeze the log: it accepts no writes until it is unfrozen. Its shard stays active'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "unfreeze" -d 'Unfreeze the log: it accepts writes again, in the same shard'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "create" -d 'Create the log that FILE describes'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "delete" -d 'Hide a frozen log; its data is kept, and `undelete` shows it again'
complete -c logctl -n "__fish_logctl_using_subcommand log; and not __fish_seen_subcommand_from list freeze unfreeze create delete undelete" -f -a "undelete" -d 'Show a deleted log again, still frozen'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l deleted -d 'List only deleted logs: their data is kept, and their names stay taken'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l now -d 'Do not wait for promised work'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from freeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from unfreeze" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l dry-run -d 'Show what the command would do, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand log; and __fish_seen_subcommand_from undelete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -f -a "create" -d 'Make a token; its text is shown once and cannot be shown again'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -f -a "list" -d 'List tokens, with the permissions and the expiry of each'
complete -c logctl -n "__fish_logctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke" -f -a "revoke" -d 'Revoke a token at once'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l scope -d 'Permission of the token, as RESOURCE:VERB:LOG with `*` for any; repeat it for more' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l expires -d 'Lifetime of the token: 12h, 30d; at most 365d' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l out -d 'Write the token\'s text to a new file that only you can read, instead of standard output' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l reason -d 'The reason, for the audit trail' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -f -a "list" -d 'List requests, their actors and their outcomes; newest first'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and not __fish_seen_subcommand_from list verify" -f -a "verify" -d 'Recompute the whole trail and compare it with every pinned checkpoint'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l limit -d 'Number of entries, at most 1000' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l before -d 'Only entries before this index' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l repin -d 'Discard the pins, and pin the trail that is served now if it is consistent and has lost no entry under the pinned key'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand audit; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and not __fish_seen_subcommand_from verify" -f -a "verify" -d 'Check a receipt, and whether the log has kept its promise'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l vkey -d 'A verifier key to check the signature with; by default the key that the log lists for the shard' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l url -d 'Address of the log for readers; by default the one in the context, else the one that the server names' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l offline -d 'Check the signature only; needs --vkey'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand receipt; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l format -d 'Format of the file' -r -f -a "lines\t'Each line is an entry, without its newline; empty lines are passed over'
ndjson\t'Each line is {"entry":"<base64>"}'
bundle\t'C2SP bundle encoding: a 16-bit length and the entry, one after the other'"
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l priority -d 'Urgency of the entries, from 0 (most urgent) to 7, which selects a tier of the log. By default the writer\'s first tier' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l merge-by -d 'Time by which the entries must be published: 5s, 24h, or 2026-12-01T00:00:00Z' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l shard -d 'Write only into this shard, and only while it is the active one' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l writer-token-file -d 'File with the writer\'s token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l resume -d 'Continue an import that ended early; fails if the server does not know it' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l upload -d 'Begin or continue the import with this ID: 32 random hex digits. By default a new ID' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l url -d 'Address of the log for writers; by default the one in the context, else the one that the server names' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l raw -d 'Import the bytes as they are, even if lines end with CR LF or the file has a byte-order mark or looks compressed'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand import; and not __fish_seen_subcommand_from rekor" -a "rekor" -d 'Import the shards of an old Rekor as the first shards of a new log'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l from -d 'The old Rekor: its URL, or a folder that --save wrote' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l from-ca -d 'A PEM file of authorities to trust for the old Rekor, instead of the system\'s; --ca is for the server' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l save -d 'Save the shards and entries of the old Rekor to this folder, and stop; run it again to continue' -r -f -a "(__fish_complete_directories)"
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l trusted-root -d 'Refuse shards whose key is not in this trusted root; use the one that your clients have' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l connections -d 'How many requests to send to the old Rekor at a time' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l inactive-only -d 'Leave out the active shard of the old Rekor, which still accepts entries'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l dry-run -d 'Show the shards, check that the server can create the log, and stop'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l drop -d 'Delete the entries that were copied for a log that has not been created'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand import; and __fish_seen_subcommand_from rekor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand load; and not __fish_seen_subcommand_from import" -f -a "import" -d 'The older name of `logctl import`'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l format -d 'Format of the file' -r -f -a "lines\t'Each line is an entry, without its newline; empty lines are passed over'
ndjson\t'Each line is {"entry":"<base64>"}'
bundle\t'C2SP bundle encoding: a 16-bit length and the entry, one after the other'"
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l priority -d 'Urgency of the entries, from 0 (most urgent) to 7, which selects a tier of the log. By default the writer\'s first tier' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l merge-by -d 'Time by which the entries must be published: 5s, 24h, or 2026-12-01T00:00:00Z' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l shard -d 'Write only into this shard, and only while it is the active one' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l writer-token-file -d 'File with the writer\'s token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l resume -d 'Continue an import that ended early; fails if the server does not know it' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l upload -d 'Begin or continue the import with this ID: 32 random hex digits. By default a new ID' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l url -d 'Address of the log for writers; by default the one in the context, else the one that the server names' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l raw -d 'Import the bytes as they are, even if lines end with CR LF or the file has a byte-order mark or looks compressed'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand load; and __fish_seen_subcommand_from import" -a "rekor" -d 'Import the shards of an old Rekor as the first shards of a new log'
complete -c logctl -n "__fish_logctl_using_subcommand top" -l interval -d 'Time between two updates' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand top" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand top" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand top" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand top" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand top" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand top" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand top" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand top" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand whoami" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand version" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand version" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand version" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand version" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand version" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand version" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand version" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand version" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand version" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand version" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand version" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand version" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand version" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand api" -l body -d 'File to send (`-`: standard input), JSON or YAML' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand api" -l if-match -d 'Entity tag that the change is based on' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l reason -d 'The reason, for the audit trail and the history' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l idempotency-key -d 'Continue the request with this key, or name a new one; a change that is sent twice with one key is made once' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand api" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand api" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand api" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand api" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand api" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand api" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand api" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand api" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand api" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -f -a "list" -d 'List all contexts, and mark the current one'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -f -a "use" -d 'Choose the current context, which is used when none is named'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -f -a "set" -d 'Change the keys of a context, or create it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -f -a "delete" -d 'Remove a context from the file; token and key files stay'
complete -c logctl -n "__fish_logctl_using_subcommand context; and not __fish_seen_subcommand_from list use set delete show" -f -a "show" -d 'Show every value in effect, and its source'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from use" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l check -d 'Ask the server for your name and permissions'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand context; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand completions" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l static -d 'Print a script that completes commands and options only, and works with later versions of logctl'
complete -c logctl -n "__fish_logctl_using_subcommand completions" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand completions" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand help" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand help" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand help" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand help" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand help" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand help" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand help" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand help" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand help" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand help" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand help" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand help" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand help" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c logctl -n "__fish_logctl_using_subcommand man" -l log -d 'Log to work on; by default the context\'s, else the server\'s only one' -r
complete -c logctl -n "__fish_logctl_using_subcommand man" -l config -d 'Context file; by default $XDG_CONFIG_HOME/logctl/config.toml' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand man" -l context -d 'Context to use; by default the file\'s `current`' -r
complete -c logctl -n "__fish_logctl_using_subcommand man" -l admin -d 'Admin endpoint, instead of the context\'s: unix:/PATH, https://HOST:PORT' -r
complete -c logctl -n "__fish_logctl_using_subcommand man" -l ca -d 'Certificate authority of an https endpoint (PEM)' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand man" -l token-file -d 'File with the bearer token; must not be readable by others' -r -F
complete -c logctl -n "__fish_logctl_using_subcommand man" -l timeout -d 'How long to wait for the server and for its replicas: 500ms, 60s, 5m' -r
complete -c logctl -n "__fish_logctl_using_subcommand man" -l confirm -d 'Answer yes if NAME is the context in use; refuse otherwise' -r
complete -c logctl -n "__fish_logctl_using_subcommand man" -s o -l output -d 'Form of the result on standard output; `config plan` also accepts a file: plan.json' -r -f -a "table\t'A table for people'
json\t'One document, whatever the outcome'
jsonl\t'One document per line: each element of a list, else the whole result'
name\t'One name per line: shards, logs, operations; nothing if the result has no names'"
complete -c logctl -n "__fish_logctl_using_subcommand man" -l color -d 'When to use colours' -r -f -a "auto\t'On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed'
always\t'Always, even into a file'
never\t'Never, even on a terminal'"
complete -c logctl -n "__fish_logctl_using_subcommand man" -s y -l yes -d 'Answer yes to every question; a protected context needs --confirm'
complete -c logctl -n "__fish_logctl_using_subcommand man" -l no-input -d 'Never ask; fail where an answer would be needed'
complete -c logctl -n "__fish_logctl_using_subcommand man" -l explain-auth -d 'Say which permissions the command needs, and whether you have them, instead of running it'
complete -c logctl -n "__fish_logctl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
