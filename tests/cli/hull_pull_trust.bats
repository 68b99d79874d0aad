# How far the trust in a registry goes: to its own host, and no further (trust_registry.py). The
# namespace has 192.0.2.1 and 192.0.2.2, which aren't loopback's, with a certificate that no authority
# made.

load helpers
load registry

setup_file() {
    command -v python3 >/dev/null || skip "no python3"
    export DIRECTORY=$BATS_FILE_TMPDIR
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test \
        -addext subjectAltName=IP:192.0.2.1 -keyout "$DIRECTORY/key.pem" \
        -out "$DIRECTORY/certificate.pem" 2>/dev/null
    start_network
    (inside ip address add 192.0.2.1/32 dev lo)
    (inside ip address add 192.0.2.2/32 dev lo)
    inside python3 "$BATS_TEST_DIRNAME/trust_registry.py" "$DIRECTORY/certificate.pem" \
        "$DIRECTORY/key.pem" "$DIRECTORY/log" >"$DIRECTORY/err" 2>&1 3>&- &
    SERVERS="$! $SERVERS"
    wait_until 20 answers https://192.0.2.1:5443/v2/
    wait_until 20 answers http://192.0.2.2:5445/token
}

teardown_file() { stop_servers; }

setup() {
    use_hull
    DIRECTORY=$BATS_FILE_TMPDIR
    mkdir "$DOCKER_CONFIG"
    echo '{"auths": {"192.0.2.1:5443": {"auth": "dXNlcjpzZWNyZXQ="}}}' >"$DOCKER_CONFIG/config.json"
}

insecure() {
    echo '{"delaySeconds": 0.02, "registries": {"192.0.2.1:5443": {"insecure": true}}}' >"$HULL_REGISTRIES"
}
# Its certificate is trusted.
secure() {
    mkdir -p "$BATS_TEST_TMPDIR/certs/192.0.2.1:5443"
    cp "$DIRECTORY/certificate.pem" "$BATS_TEST_TMPDIR/certs/192.0.2.1:5443/ca.crt"
    echo "{\"certificates\": [\"$BATS_TEST_TMPDIR/certs\"]}" >"$HULL_REGISTRIES"
}

pull() {
    local before
    before=$(wc -l <"$DIRECTORY/log")
    run hull pull "192.0.2.1:5443/$1:1"
    echo "$output"
    log=$(tail -n "+$((before + 1))" "$DIRECTORY/log")
    echo "$log"
}

@test "a registry whose certificate can't be verified isn't spoken to, unless it is marked as insecure" {
    pull plain
    [ "$status" = 1 ]
    [[ $output == *"certificate"*"or mark it as insecure in registries.json"* ]]
    [ "$log" = "" ]
    secure
    pull plain
    [ "$status" = 0 ]
    insecure
    pull plain
    [ "$status" = 0 ]
}

@test "a token server inherits on the registry's own host that it may be insecure" {
    insecure
    pull token-https---192.0.2.1-5444
    [ "$status" = 0 ]
    grep -q '^192.0.2.1:5444 /token?.* Basic:dXNlcjpzZWNyZXQ=$' <<<"$log"
    pull token-http---192.0.2.1-5445
    [ "$status" = 0 ]
}

@test "a token server of another host gets no password before it is verified" {
    insecure
    pull token-https---192.0.2.2-5444
    [ "$status" = 1 ]
    [[ $output == *"https://192.0.2.2:5444/token: "*certificate* ]]
    pull token-http---192.0.2.2-5445
    [ "$status" = 1 ]
    [[ $output == *"192.0.2.1:5443 sends us for a token to where passwords shouldn't go: http://192.0.2.2:5445/token"* ]]
    lacks '^192.0.2.2' "$log"
    # Of a registry that is verified, its own host's may be no worse.
    secure
    pull token-http---192.0.2.1-5445
    [ "$status" = 1 ]
    [[ $output == *"passwords shouldn't go"* ]]
    # The registry's own authority is good for it, but not for another's name.
    pull token-https---192.0.2.1-5444
    [ "$status" = 0 ]
    pull token-https---192.0.2.2-5444
    [ "$status" = 1 ]
    lacks '^192.0.2.2' "$log"
}

@test "a redirection leads neither to a server that can't be verified, nor out of the encryption" {
    insecure
    pull blob-https---192.0.2.2-5444
    [ "$status" = 1 ]
    [[ $output == *"https://192.0.2.2:5444/blob: "*certificate* ]]
    pull blob-http---192.0.2.2-5445
    [ "$status" = 1 ]
    [[ $output == *"192.0.2.1:5443 leads us from an encrypted connection to http://192.0.2.2:5445/blob"* ]]
    lacks '^192.0.2.2' "$log"
    # Nor to what listens on this machine's loopback.
    pull blob-http---127.0.0.1-5445
    [ "$status" = 1 ]
    pull token-http---127.0.0.1-5445
    [ "$status" = 1 ]
    lacks '^127.0.0.1' "$log"
    pull blob-http---192.0.2.1-5445
    [ "$status" = 0 ]
    secure
    rm -r "$root"
    pull blob-http---192.0.2.1-5445
    [ "$status" = 1 ]
    [[ $output == *"leads us from an encrypted connection"* ]]
}
