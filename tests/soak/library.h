#pragma once
// What each of the libraries that are opened and closed in a loop offers.

// Burns a little time, throws and catches within the library, then calls back from three frames
// deep; what `back` throws passes through all of them.
extern "C" long soak_library_work(long (*back)(long n), long n);
