//! Maps: a task for each item of a stream.

use std::future::Future;

use whitebeam_actor::{ExitError, Stream};

use super::TaskRef;
use crate::task::{
    TaskMap,
    map::{Fail, Items},
};

impl TaskRef {
    /// Does `f` to each item of a stream, in a task for each, so many [at once](TaskMap::at_once), and gives the
    /// results as a stream: in the order of the items unless it is [unordered](TaskMap::unordered). (OTP:
    /// `async_stream_nolink`.) `f` is called where the results are awaited.
    pub fn map<S, F, Fut>(&self, items: S, mut f: F) -> TaskMap<Fut::Output>
    where
        S: Stream + Send + 'static,
        F: FnMut(S::Item) -> Fut + Send + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static,
    {
        TaskMap::new(self, items, move |tasks, item| {
            (tasks.spawn(f(item)), Fail::Plain(std::convert::identity))
        })
    }

    /// As [`map`](Self::map), of what an iterator gives.
    ///
    /// ```
    /// # use whitebeam_supervisor::TaskSupervisor;
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let doubled = tasks.map_iter(0..4, |n| async move { n * 2 }).at_once(2).collect().await?;
    /// assert_eq!(doubled, [0, 2, 4, 6]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_iter<I, F, Fut>(&self, items: I, f: F) -> TaskMap<Fut::Output>
    where
        I: IntoIterator<IntoIter: Send + 'static>,
        F: FnMut(I::Item) -> Fut + Send + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static,
    {
        self.map(Items(items.into_iter()), f)
    }

    /// As [`map`](Self::map); a failure comes with a copy of its item. (OTP: `zip_input_on_exit`.)
    ///
    /// ```
    /// # use whitebeam_actor::ExitReason;
    /// # use whitebeam_supervisor::{TaskSupervisor, ThisTask};
    /// # let rt = whitebeam_actor::Runtime::simulated(1)?;
    /// # rt.block_on(async {
    /// let tasks = TaskSupervisor::new().start(&rt).await?;
    /// let items = futures_util::stream::iter(["a", "b"]);
    /// let mut all = tasks.map_zip_input(items, |item| async move {
    ///     if let ("b", Some(me)) = (item, ThisTask::current()) {
    ///         me.exit(ExitReason::Shutdown).await;
    ///     }
    /// });
    /// assert!(matches!(all.next().await, Some(Ok(()))));
    /// let Some(Err((item, error))) = all.next().await else { panic!("it has failed") };
    /// assert!(item == "b" && matches!(error.reason(), ExitReason::Shutdown));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_zip_input<S, F, Fut>(
        &self,
        items: S,
        mut f: F,
    ) -> TaskMap<Fut::Output, (S::Item, ExitError)>
    where
        S: Stream<Item: Clone + Send + 'static> + Send + 'static,
        F: FnMut(S::Item) -> Fut + Send + 'static,
        Fut: Future<Output: Send + 'static> + Send + 'static,
    {
        TaskMap::new(self, items, move |tasks, item: S::Item| {
            let kept = item.clone();
            (tasks.spawn(f(item)), Fail::Zipped(Box::new(move |error| (kept, error))))
        })
    }
}
