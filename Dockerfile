# nportpy in a container, for amd64 and arm64:
#
#   docker build -t nportpy .
#   docker run -d --name nportpy --network host --device /dev/ttyUSB0 -v /etc/nportpy:/etc/nportpy:ro nportpy
#
# A device that may be unplugged needs a directory and a rule instead of --device, because --device ends with it:
#   -v /dev:/dev --device-cgroup-rule 'c 188:* rw'        (188 is ttyUSB, 166 ttyACM, 204 ttyAMA, 4 ttyS)
# `docker kill --signal HUP nportpy` reloads the configuration.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY nportpy nportpy
COPY etc etc
# Wheels only: a package that had to be compiled would need a compiler here, and minutes on an emulated processor.
RUN python -m venv /opt/nportpy \
 && /opt/nportpy/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary=:all: '.[edge]' \
 && /opt/nportpy/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim
COPY --from=build /opt/nportpy /opt/nportpy
ENV PATH=/opt/nportpy/bin:$PATH PYTHONUNBUFFERED=1
# Nobody in particular, in the group dialout (20 on Debian), which serial devices belong to. Where the host's group
# has another number: docker run --group-add NUMBER.
USER 10001:20
EXPOSE 4001-4008 5001-5008 9550
# /healthz answers while the process is well, whatever becomes of the devices. It is asked on 127.0.0.1:9550, the
# default: [http] has to listen there, and 127.0.0.1 has to be in every `allow` that holds for it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9550/healthz', timeout=4)"]
ENTRYPOINT ["nportpy"]
CMD ["serve", "-c", "/etc/nportpy/nportpy.toml"]
