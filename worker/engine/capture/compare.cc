#include "worker/engine/capture/capture.h"
