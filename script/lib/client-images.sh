# shellcheck shell=bash
# The image for tests with Docker's other clients: compose, the Python SDK and testcontainers, in fixed versions.
# shellcheck source=script/lib/images.sh
source "$(dirname "${BASH_SOURCE[0]}")/images.sh"

# Among the names of the test images, so that it is taken away with them and given to Docker 28.
IMAGE_CLIENTS=longshore-test/clients:1

# Debian's own docker-compose is the compose plug-in, version 2.
CLIENT_PACKAGES='docker-cli docker-compose'
CLIENT_WHEELS='docker==7.2.0 testcontainers==4.15.0'

# ensure_client_image: makes it where it is missing or of another recipe; from the Python image, which is a Debian.
ensure_client_image() {
  local recipe
  recipe=$(client_recipe)
  if [[ $(docker image inspect -f '{{index .Config.Labels "longshore.test-clients"}}' "$IMAGE_CLIENTS" 2>/dev/null) == "${recipe:0:16}" ]]; then
    note 'all there'
    return
  fi
  docker image rm -f "$IMAGE_CLIENTS" 2>/dev/null || true
  client_dockerfile | DOCKER_BUILDKIT=0 docker build -q --label "longshore.test-clients=${recipe:0:16}" -t "$IMAGE_CLIENTS" -
  note "$(docker run --rm "$IMAGE_CLIENTS" docker compose version)"
}

# client_recipe: one text for what the image is made of and by.
client_recipe() { { docker image inspect -f '{{.Id}}' "$IMAGE_PYTHON"; client_dockerfile; } | sha256sum; }

client_dockerfile() {
  cat <<EOS
FROM $IMAGE_PYTHON
RUN apt-get -q update && apt-get -qy install --no-install-recommends $CLIENT_PACKAGES && rm -rf /var/lib/apt/lists/*
RUN pip install --quiet --no-cache-dir --no-compile --disable-pip-version-check $CLIENT_WHEELS
EOS
}
