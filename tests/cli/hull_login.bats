# hull login and logout, at Debian's docker-registry (with a password file, and with TLS), and at a
# registry with a token server. They have a network namespace of their own, with loopback only, in
# which 192.0.2.1 is an address that isn't loopback's.

load helpers

setup_file() {
    command -v docker-registry >/dev/null || skip "no docker-registry"
    command -v htpasswd >/dev/null || skip "no htpasswd"
    export DIRECTORY=$BATS_FILE_TMPDIR
    htpasswd -Bbn alice 'wonder:land' >"$DIRECTORY/passwords"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=192.0.2.1 \
        -addext subjectAltName=IP:192.0.2.1 -keyout "$DIRECTORY/key.pem" \
        -out "$DIRECTORY/certificate.pem" 2>/dev/null
    write_registry plain 127.0.0.1:5000
    write_registry tls 192.0.2.1:5443 "  tls:
    certificate: $DIRECTORY/certificate.pem
    key: $DIRECTORY/key.pem"
    unshare --net sh -c 'ip link set lo up && ip address add 192.0.2.1/32 dev lo &&
        exec docker-registry serve "$1"' sh "$DIRECTORY/plain.yml" \
        >"$DIRECTORY/plain.log" 2>&1 3>&- &
    export REGISTRY=$!
    wait_until 20 answers http://127.0.0.1:5000/
    inside docker-registry serve "$DIRECTORY/tls.yml" >"$DIRECTORY/tls.log" 2>&1 3>&- &
    export TLS_REGISTRY=$!
    inside python3 "$BATS_TEST_DIRNAME/token_registry.py" 5001 >"$DIRECTORY/token.log" 2>&1 3>&- &
    export TOKEN_REGISTRY=$!
    wait_until 20 answers https://192.0.2.1:5443/
    wait_until 20 answers http://127.0.0.1:5001/v2/
}

teardown_file() {
    local pid
    for pid in ${TOKEN_REGISTRY:-} ${TLS_REGISTRY:-} ${REGISTRY:-}; do
        kill "$pid" || true
        wait "$pid" || true
    done
}

write_registry() { # NAME ADDRESS [MORE-OF-HTTP]
    cat >"$DIRECTORY/$1.yml" <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $DIRECTORY/$1}}
auth: {htpasswd: {realm: test, path: $DIRECTORY/passwords}}
http:
  addr: $2
  secret: test
${3:-}
END
}

# In the registries' network namespace; takes the place of the (sub)shell, so that its pid is the
# command's.
inside() { exec nsenter --net="/proc/$REGISTRY/ns/net" "$@"; }
answers() { (inside curl --silent --insecure --output /dev/null --max-time 5 "$1"); }

setup() {
    export DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
    export HULL_REGISTRIES=$BATS_TEST_TMPDIR/registries.json
    config=$DOCKER_CONFIG/config.json
    echo '{}' >"$HULL_REGISTRIES"
    hull_program=$("$HULL_SOURCE/scripts/program" "$HULL_BUILD" hull)
}

# One line of input, or none: hull_with INPUT ARGUMENT...
hull_with() {
    local input=$1
    shift
    printf '%s' "$input" | (inside "$hull_program" "$@")
}
hull() { (inside "$hull_program" "$@" </dev/null); }

@test "login with the right password succeeds, and keeps it for its owner alone" {
    run hull_with $'wonder:land\n' login --username alice --password-stdin 127.0.0.1:5000
    [ "$status" = 0 ]
    [[ $output == *"Login Succeeded" ]]
    [[ $output == *"unencrypted in '$config'"* ]]
    [ "$(stat -c %a "$config")" = 600 ]
    [ "$(stat -c %a "$DOCKER_CONFIG")" = 700 ]
    [ "$(jq -r '.auths["127.0.0.1:5000"].auth' "$config" | base64 -d)" = alice:wonder:land ]
    # Again, with what is kept.
    run hull login http://127.0.0.1:5000/v2/
    [ "$status" = 0 ]
    [[ $output == "Authenticating with existing credentials..."*"Login Succeeded" ]]
}

@test "logout removes the credentials, and nothing else" {
    mkdir "$DOCKER_CONFIG"
    echo '{"auths": {"other.example": {"auth": "YTpi"}}, "psFormat": "x"}' >"$config"
    run hull login -u alice -p wonder:land localhost:5000
    [ "$status" = 0 ]
    [[ $output == *"WARNING! Using --password via the CLI is insecure."* ]]
    run hull logout localhost:5000
    [ "$status" = 0 ]
    [ "$output" = "Removing login credentials for localhost:5000" ]
    [ "$(jq -c . "$config")" = '{"auths":{"other.example":{"auth":"YTpi"}},"psFormat":"x"}' ]
    run hull logout localhost:5000
    [ "$status" = 0 ]
    [ "$output" = "Not logged in to localhost:5000" ]
}

@test "a wrong password is refused and not kept" {
    run hull_with wrong login -u alice --password-stdin 127.0.0.1:5000
    [ "$status" = 1 ]
    [[ $output == "hull: login: 127.0.0.1:5000 refused the user name or password: HTTP status 401"* ]]
    [ ! -e "$config" ]
}

@test "a host that can't be reached is named" {
    run hull login -u alice -p x 127.0.0.1:5999
    [ "$status" = 1 ]
    [[ $output == *"hull: login: https://127.0.0.1:5999/v2/: "*"127.0.0.1 port 5999"* ]]
    [ ! -e "$config" ]
}

@test "what isn't understood is said before anything is asked" {
    run hull login -u alice --password-stdin -p x 127.0.0.1:5000
    [ "$status" = 1 ]
    [[ $output == *"exclude each other"* ]]
    run hull login --password-stdin 127.0.0.1:5000
    [[ $output == *"needs --username"* ]]
    run hull login -u alice 127.0.0.1:5000
    [ "$status" = 1 ]
    [[ $output == *"no terminal"*"--password-stdin"* ]]
    run hull login -u alice -p x 'a b'
    [[ $output == *"'a b' is no registry's HOST"* ]]
    run hull login -u alice -p x a/../b:99
    [ "$status" = 1 ]
}

@test "on a terminal the password is asked for, and not shown" {
    printf 'alice\nwonder:land\n' >"$BATS_TEST_TMPDIR/typed"
    run inside_terminal 127.0.0.1:5000
    [ "$status" = 0 ]
    [[ $output == *"Username: "*"Password: "*"Login Succeeded"* ]]
    [[ ${output#*Password:} != *wonder* ]]
    [ "$(jq -r '.auths["127.0.0.1:5000"].auth' "$config" | base64 -d)" = alice:wonder:land ]
}

# Types each line when it is asked for.
inside_terminal() {
    local screen=$BATS_TEST_TMPDIR/screen
    {
        wait_until 20 grep -q Username: "$screen" && sed -n 1p "$BATS_TEST_TMPDIR/typed"
        wait_until 20 grep -q Password: "$screen" && sed -n 2p "$BATS_TEST_TMPDIR/typed"
        wait_until 20 grep -qE 'Succeeded|hull: login' "$screen"
    } | (inside script --quiet --return --flush --log-out "$screen" \
        --command "$hull_program login $1")
}

@test "TLS needs a certificate that is trusted, by the registry's own directory if need be" {
    run hull login -u alice -p wonder:land 192.0.2.1:5443
    [ "$status" = 1 ]
    [[ $output == *"https://192.0.2.1:5443/v2/: "*"certificate"*"ca.crt"* ]]
    mkdir -p "$BATS_TEST_TMPDIR/certs/192.0.2.1:5443"
    echo "{\"certificates\": [\"$BATS_TEST_TMPDIR/certs\"]}" >"$HULL_REGISTRIES"
    cp "$DIRECTORY/certificate.pem" "$BATS_TEST_TMPDIR/certs/192.0.2.1:5443/ca.crt"
    run hull login -u alice -p wonder:land 192.0.2.1:5443
    [ "$status" = 0 ]
    echo '{"registries": {"192.0.2.1:5443": {"insecure": true}}}' >"$HULL_REGISTRIES"
    run hull login -u alice -p wonder:land 192.0.2.1:5443
    [ "$status" = 0 ]
}

@test "a token server is asked, and its refresh token kept instead of the password" {
    run hull login -u carol -p 'token secret' 127.0.0.1:5001
    [ "$status" = 0 ]
    [ "$(jq -r '.auths["127.0.0.1:5001"].identitytoken' "$config")" = refresh-1 ]
    [ "$(jq -r '.auths["127.0.0.1:5001"].auth' "$config" | base64 -d)" = carol: ]
    run hull login 127.0.0.1:5001
    [ "$status" = 0 ]
    [[ $output == *"existing credentials"*"Login Succeeded" ]]
}

@test "what a token server answers is not trusted" {
    run hull login -u carol -p wrong 127.0.0.1:5001
    [ "$status" = 1 ]
    [[ $output == *"refused the user name or password: HTTP status 401: no?[31m such user"* ]]
    run hull login -u mallory -p x 127.0.0.1:5001
    [ "$status" = 1 ]
    [[ $output == *"gave no token"* ]]
    [ ! -e "$config" ]
}

@test "podman takes the credentials that hull keeps" {
    command -v podman >/dev/null || skip "no podman"
    run hull login -u alice -p wonder:land 127.0.0.1:5000
    [ "$status" = 0 ]
    [ "$(podman login --get-login --authfile "$config" 127.0.0.1:5000)" = alice ]
}
