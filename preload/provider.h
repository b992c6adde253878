#pragma once
/* CALM. What the heap profile says about the host's allocator. */

/* Fills agent.provider; before agent_start(). */
void provider_find(void) __attribute__((visibility("hidden")));
