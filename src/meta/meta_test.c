#include "meta/meta.h"
