# Commands about networks that are killed at any instant leave nothing behind.
load network

@test "commands killed at random instants leave nothing, and take nothing from others" {
    client create kept -s 10.90.0.0/24
    client attach "$a" -N keeper -n kept -p 7000:80
    serve_http in_container "$a" -- 80
    rounds=30
    [ -z "${HULL_LONG:-}" ] || rounds=200
    on_host python3 "$HULL_SOURCE/tests/cli/network_killer.py" \
        "$HULL_BUILD/tests/helpers/network_client" "$directory" $rounds "$HULL_SEED" "$a"
    get in_world -- http://203.0.113.1:7000/
    get on_host -- 'http://[::1]:7000/'
    [ "$(ask in_container "$a" -- keeper A)" = "0 10.90.0.2" ]
}
