#include "tests/engine/host/fixture.h"
