mod support;

#[cfg(not(loom))]
mod steps;
#[cfg(not(loom))]
mod stress;

#[cfg(loom)]
mod loom_close;
#[cfg(loom)]
mod loom_guard;
#[cfg(loom)]
mod loom_order;
#[cfg(loom)]
mod loom_reuse;
#[cfg(loom)]
mod loom_signs;
