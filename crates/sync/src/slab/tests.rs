#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod steps;
#[cfg(not(loom))]
mod stress;
