//! A name: text, a value of any type that can be hashed and compared, or a place in a registry.
//!
//! A value is hashed once, when its name is made, together with its type. What is left of the user's code is its
//! `Eq`, run by who compares names, its `Debug`, and its destructor, whose panic ends here.

use std::{
    any::{Any, TypeId},
    fmt,
    hash::{BuildHasher, Hash, Hasher},
    ptr,
    sync::Arc,
};

use super::registry::Registry;
use crate::{contain::Contained, ext::Fixed};

/// The name of a process. Cheap to clone.
///
/// | made by | what it is | held in |
/// | --- | --- | --- |
/// | `From<&str>`, `From<String>` | text | the runtime where it is used |
/// | [`Name::of`] | a value of any type | the runtime where it is used |
/// | [`Name::via`] | a key in a registry | that [`Registry`], for all runtimes that use it |
///
/// Two names are equal if they are of the same kind and their texts are equal; or if their values are of the same
/// type and equal; or if their registry is the same one and their keys are equal. A text equals a text only.
///
/// Empty text is no name, nor a key: a process is not started or registered under it
/// ([`NameError::IllFormed`](crate::NameError::IllFormed)), and nobody is found by it. What else would be no name
/// does not compile.
///
/// A name goes wherever a process is asked for, as a [`Target`](crate::Target): it is looked up there and then.
///
/// ```
/// # use whitebeam_actor::Name;
/// #[derive(Debug, PartialEq, Eq, Hash)]
/// struct Shard(u32);
///
/// assert_eq!(Name::of(Shard(1)), Name::of(Shard(1)));
/// assert_ne!(Name::of(Shard(1)), Name::of(1_u32));
/// assert_eq!(Name::of("db".to_owned()), Name::from("db"));
/// assert_eq!(format!("{} {}", Name::from("db"), Name::of(Shard(1))), "db Shard(1)");
/// ```
#[derive(Clone)]
pub struct Name(Kind);

#[derive(Clone)]
enum Kind {
    Text(Arc<str>),
    Value(Arc<Hashed<dyn Value>>),
    Via(Arc<Via>),
}

/// A value and its hash, which is that of its type as well.
struct Hashed<T: ?Sized> {
    hash: u64,
    value: T,
}

/// A key in a registry.
pub(crate) struct Via {
    hash: u64,
    /// The user's, dropped with the last name.
    pub(super) registry: Contained<Arc<dyn Registry>>,
    pub(super) key: Name,
}

/// A value without its type.
trait Value: Send + Sync {
    fn is(&self, other: &dyn Value) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn as_debug(&self) -> &dyn fmt::Debug;
}

impl<T: Eq + fmt::Debug + Send + Sync + 'static> Value for Contained<T> {
    fn is(&self, other: &dyn Value) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| **self == *other)
    }

    fn as_any(&self) -> &dyn Any {
        &**self
    }

    fn as_debug(&self) -> &dyn fmt::Debug {
        &**self
    }
}

impl Name {
    /// A name that is a value. Equal to another only if that is of the same type and equal.
    ///
    /// A `String`, a `&'static str` or a `Name` gives what `From` would make of it: for who names processes by a
    /// type parameter, text stays text.
    ///
    /// The value is kept behind one allocation and hashed here, once. Names of this kind are compared by the
    /// value's `Eq` where two have the same hash; never while a lock of the runtime's is held.
    pub fn of<T>(value: T) -> Self
    where
        T: Hash + Eq + fmt::Debug + Send + Sync + 'static,
    {
        let any: &dyn Any = &value;
        if let Some(text) = any.downcast_ref::<String>() {
            return Name::from(text.as_str());
        }
        if let Some(text) = any.downcast_ref::<&'static str>() {
            return Name::from(*text);
        }
        if let Some(name) = any.downcast_ref::<Name>() {
            return name.clone();
        }
        let hash = Fixed.hash_one((TypeId::of::<T>(), &value));
        Name(Kind::Value(Arc::new(Hashed { hash, value: Contained::new(value) })))
    }

    /// A name that a registry keeps, under `key`: OTP's `{via, Module, Name}`, and `{global, Name}` where the
    /// registry is one for all runtimes.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use whitebeam_actor::{Actor, Context, Directory, ExitReason, Name, Runtime, SpawnOptions};
    /// # struct Idle;
    /// # impl Actor for Idle {
    /// #     type Args = ();
    /// #     type Msg = ();
    /// #     async fn init((): (), _: &mut Context<Self>) -> Result<Self, ExitReason> { Ok(Idle) }
    /// #     async fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> { Ok(()) }
    /// # }
    /// let rt = Runtime::simulated(1)?;
    /// let rooms = Arc::new(Directory::new());
    /// let room = Name::via(rooms.clone(), "lobby");
    /// rt.block_on(async {
    ///     let options = SpawnOptions::new().name(room.clone());
    ///     let lobby = rt.with(options).start::<Idle>(()).await?;
    ///     assert_eq!(rt.whereis(room.clone()), Some(lobby.pid()));
    ///     assert_eq!(rt.whereis("lobby"), None);
    ///     rt.stop(room, ExitReason::Normal).await?;
    ///     assert!(rooms.is_empty());
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn via(registry: Arc<dyn Registry>, key: impl Into<Name>) -> Self {
        let key = key.into();
        let at = Arc::as_ptr(&registry).addr();
        let hash = match &key.0 {
            Kind::Text(text) => Fixed.hash_one((at, text)),
            Kind::Value(value) => Fixed.hash_one((at, value.hash)),
            Kind::Via(via) => Fixed.hash_one((at, via.hash)),
        };
        Name(Kind::Via(Arc::new(Via { hash, registry: Contained::new(registry), key })))
    }

    /// Its text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Kind::Text(text) => Some(text),
            Kind::Value(_) | Kind::Via(_) => None,
        }
    }

    /// What a registry keeps it under; the name itself, if it is in none.
    pub fn key(&self) -> &Name {
        match &self.0 {
            Kind::Via(via) => via.key.key(),
            Kind::Text(_) | Kind::Value(_) => self,
        }
    }

    /// Its value, if it is a `T`.
    pub fn downcast_ref<T: 'static>(&self) -> Option<&T> {
        match &self.0 {
            Kind::Value(value) => value.value.as_any().downcast_ref(),
            Kind::Text(_) | Kind::Via(_) => None,
        }
    }

    /// The registry that keeps it, and its key there.
    pub(super) fn as_via(&self) -> Option<&Via> {
        match &self.0 {
            Kind::Via(via) => Some(via),
            Kind::Text(_) | Kind::Value(_) => None,
        }
    }

    pub(super) fn is_ill_formed(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Value(_) => false,
            Kind::Via(via) => via.key.is_ill_formed(),
        }
    }

    /// How it is kept in a table.
    pub(super) fn place(&self) -> Place<'_> {
        match &self.0 {
            Kind::Text(text) => Place::Text(text),
            Kind::Value(value) => Place::Hash(value.hash),
            Kind::Via(via) => Place::Hash(via.hash),
        }
    }

    /// Whether `other` is a clone of this, or the same text. Runs no code of the user's.
    pub(super) fn is_clone_of(&self, other: &Name) -> bool {
        match (&self.0, &other.0) {
            (Kind::Text(one), Kind::Text(other)) => one == other,
            (Kind::Value(one), Kind::Value(other)) => Arc::ptr_eq(one, other),
            (Kind::Via(one), Kind::Via(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Where a table keeps a name.
pub(super) enum Place<'a> {
    Text(&'a Arc<str>),
    /// Among those of the same hash.
    Hash(u64),
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Text(one), Kind::Text(other)) => one == other,
            (Kind::Value(one), Kind::Value(other)) => {
                Arc::ptr_eq(one, other) || (one.hash == other.hash && one.value.is(&other.value))
            }
            (Kind::Via(one), Kind::Via(other)) => {
                let registries = [one, other].map(|via| Arc::as_ptr(&via.registry));
                Arc::ptr_eq(one, other)
                    || (ptr::addr_eq(registries[0], registries[1]) && one.key == other.key)
            }
            _ => false,
        }
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.place() {
            Place::Text(text) => text.hash(state),
            Place::Hash(hash) => state.write_u64(hash),
        }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(Kind::Text(text.into()))
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(Kind::Text(text.into()))
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

impl fmt::Display for Name {
    /// The text, the value's `Debug`, or the key behind `via`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text(text) => f.write_str(text),
            Kind::Value(value) => value.value.as_debug().fmt(f),
            Kind::Via(via) => write!(f, "via {}", via.key),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Text(text) => write!(f, "{text:?}"),
            Kind::Value(value) => value.value.as_debug().fmt(f),
            Kind::Via(via) => write!(f, "via {:?}", via.key),
        }
    }
}
