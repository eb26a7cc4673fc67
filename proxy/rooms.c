/* SPDX-License-Identifier: PostgreSQL
 *
 * The tables through which rooms are called that their callers may not include: here, at the top,
 * all of them are known. Constant, and resolved by the linker.
 */
#include "config.h"

#include "proxy/move/pause.h"
#include "proxy/move/rehome.h"
#include "proxy/move/straggle.h"
#include "proxy/pool/pooled.h"
#include "proxy/session/observers.h"

const struct observer *const session_observers[OBSERVERS] = {
	[OBSERVER_POOL] = &pool_observer,
	[OBSERVER_SAMPLER] = &sampler_observer,
	[OBSERVER_STATEMENTS] = &statements_observer,
	[OBSERVER_TRACES] = &traces_observer,
	[OBSERVER_STRAGGLER] = &straggler_observer,
	[OBSERVER_PAUSE] = &pause_observer,
	[OBSERVER_REHOME] = &rehome_observer,
};
