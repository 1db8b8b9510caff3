// The release's name, as `sidecar --version` prints it. A file of its own: the manifest passes the
// name as a define, so that a new commit recompiles C only.
#include "CLinux.h"

#ifndef SIDECAR_VERSION
#define SIDECAR_VERSION "development"
#endif

const char *linux_version(void) { return SIDECAR_VERSION; }
