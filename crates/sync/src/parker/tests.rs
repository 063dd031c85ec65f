//! Tests of the parker: tokens, timeouts, and a duel of two threads; `loom_parker` is the model.

#[cfg(loom)]
mod loom_parker;
#[cfg(not(loom))]
mod threads;
